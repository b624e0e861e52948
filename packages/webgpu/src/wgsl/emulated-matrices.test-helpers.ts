/**
 * For tests: the text of a product on matrix units with the units replaced by plain WGSL, so that adapters without any run
 * everything else of it. A make-believe subgroup is a run of neighbours. An operand is the place in workgroup memory that it
 * would be loaded from; of the sums each invocation has a few groups of four. Products in a row become a list and a loop over it, since
 * each in the text would take long to compile.
 */

/** The text without matrix units; other texts as they are. */
export function emulateMatrices(code: string, lanes: number): string {
  const left = code.match(/alias Left = subgroup_matrix_left<\w+, (\d+), (\d+)>;/);
  const right = code.match(/alias Right = subgroup_matrix_right<\w+, (\d+), \d+>;/);
  if (!left || !right) return code;
  const [k, m, n] = [left[1], left[2], right[1]].map(Number) as [number, number, number];
  const fours = (m * n) / 4;
  const each = Math.ceil(fours / lanes);
  const element = (memory: string) => `
fn ${memory}_at(operand: Operand, row: u32, column: u32) -> f32 {
  let along = operand.stride * 4u;
  let place = operand.at * 4u + select(row * along + column, column * along + row, operand.columns);
  return f32(${memory}[place / 4u][place % 4u]);
}`;
  const functions = `
struct Operand { at: u32, stride: u32, columns: bool }
struct Product { a: Operand, b: Operand, sum: i32 }
${element('left')}
${element('right')}
fn multiply_add(lane: u32, a: Operand, b: Operand, c: Sums) -> Sums {
  var result = c;
  for (var i = 0u; i < ${each}u; i++) {
    let four = lane % ${lanes}u + i * ${lanes}u;
    if (four >= ${fours}u) { break; }
    let row = four / ${n / 4}u;
    let column = four % ${n / 4}u * 4u;
    for (var step = 0u; step < ${k}u; step++) {
      let x = left_at(a, row, step);
      let y = vec4<f32>(right_at(b, step, column), right_at(b, step, column + 1u), right_at(b, step, column + 2u), right_at(b, step, column + 3u));
      result[i] += x * y;
    }
  }
  return result;
}
fn store(lane: u32, at: u32, values: Sums, stride: u32) {
  var each = values;
  for (var i = 0u; i < ${each}u; i++) {
    let four = lane % ${lanes}u + i * ${lanes}u;
    if (four >= ${fours}u) { break; }
    sums[at + four / ${n / 4}u * stride + four % ${n / 4}u] = each[i];
  }
}
`;
  const sumAt = new Map([...code.matchAll(/var (c_\d+) = Sums\(\);/g)].map(([, name], i) => [name, i]));
  const products = [...code.matchAll(/(c_\d+) = subgroupMatrixMultiplyAccumulate\((\w+), (\w+), \1\);/g)];
  const list = products.map(([, sum, a, b]) => `Product(${a}, ${b}, ${sumAt.get(sum)})`);
  const loop = `var products = array<Product, ${list.length}>(${list.join(', ')});
  for (var i = 0; i < ${list.length}; i++) {
    let each = products[i];
    kept[each.sum] = multiply_add(lane, each.a, each.b, kept[each.sum]);
  }`;
  const store = /subgroupMatrixStore<row_major>\(&sums, (.*), (c_\d+), (\d+)\);/;
  const [, at, , stride] = code.match(store) ?? [];
  return code
    .replace('enable subgroups;\n', '')
    .replace('enable chromium_experimental_subgroup_matrix;\n', '')
    .replace(/alias (Left|Right) = .*\n/g, '')
    .replace(/alias Sums = .*/, `alias Sums = array<vec4<f32>, ${each}>;`)
    .replace(', @builtin(subgroup_id) subgroup: u32', '')
    .replace(
      'let group =',
      `let subgroup = lane / ${lanes}u;\n  var kept: array<Sums, ${sumAt.size}>;\n  let group =`,
    )
    .replace('@compute', `${functions}\n@compute`)
    .replaceAll(/var c_\d+ = Sums\(\);/g, '')
    .replaceAll(
      /subgroupMatrixLoad<\w+, (row|col)_major>\(&\w+, (.*), (\d+)\);/g,
      (_, order, place, step) => `Operand(${place}, ${step}, ${order === 'col'});`,
    )
    .replace(products.at(-1)?.[0] ?? '', loop)
    .replaceAll(/c_\d+ = subgroupMatrixMultiplyAccumulate.*/g, '')
    .replace('switch turn {', 'var chosen = 0;\n  switch turn {')
    .replaceAll(new RegExp(store, 'g'), (_, _at, sum) => `chosen = ${sumAt.get(sum)};`)
    .replace(/(default: .*\s*\})/, `$1\n  store(lane, ${at}, kept[chosen], ${stride});`);
}
