/**
 * WGSL functions that shaders use by name: what the language lacks (NaN, infinities, erf) or promises too little of
 * (sine of large angles, tanh near overflow). Names end in the number of lanes: `erf_1`, `erf_4`.
 */

/** Text of a helper, and the helpers that it needs. */
interface Helper {
  readonly needs?: readonly string[];
  /** `f`, `i`, `u`, `b` are the types of f32, i32, u32 and bool with this many lanes; `n` the ending of names. */
  readonly text: (t: { f: string; i: string; u: string; b: string; n: string }) => string;
}

const horner = (coefficients: readonly number[], x: string): string =>
  coefficients.reduceRight((sum, c) => (sum === '' ? `${c}` : `(${sum} * ${x} + ${c})`), '');

// erf(x)/x over x² in [0, 1], and log(1 − erf(x)) over x in [1, 4]: interpolated at Chebyshev nodes, rounded to f32.
const erfSmall = [
  1.1283791065216064, -0.3761262595653534, 0.11283594369888306, -0.02685421146452427, 0.005189087241888046,
  -0.000801686430349946, 0.00007875874871388078,
];
const erfTail = [
  0.00032013814779929817, -1.1302334070205688, -0.6318260431289673, -0.11008008569478989,
  0.026421137154102325, -0.004759596195071936, 0.0005968056502752006, -0.00004605804497259669,
  0.0000016371515130231273,
];

const helpers: Record<string, Helper> = {
  /** A float from its bits: infinities and NaN cannot be written as constants, and must not be constant expressions. */
  from_bits: { text: ({ f, u, n }) => `fn from_bits${n}(x: ${u}) -> ${f} { return bitcast<${f}>(x); }` },
  is_nan: {
    text: ({ f, u, b, n }) =>
      `fn is_nan${n}(x: ${f}) -> ${b} { return (bitcast<${u}>(x) & ${u}(0x7fffffffu)) > ${u}(0x7f800000u); }`,
  },
  max_nan: {
    needs: ['is_nan'],
    text: ({ f, n }) =>
      `fn max_nan${n}(x: ${f}, y: ${f}) -> ${f} { return select(select(max(x, y), y, is_nan${n}(y)), x, is_nan${n}(x)); }`,
  },
  min_nan: {
    needs: ['is_nan'],
    text: ({ f, n }) =>
      `fn min_nan${n}(x: ${f}, y: ${f}) -> ${f} { return select(select(min(x, y), y, is_nan${n}(y)), x, is_nan${n}(x)); }`,
  },
  to_i32: {
    needs: ['is_nan'],
    text: ({ f, i, n }) =>
      `fn to_i32${n}(x: ${f}) -> ${i} {
  let inside = ${i}(clamp(x, ${f}(-2147483648.0), ${f}(2147483520.0)));
  return select(select(inside, ${i}(2147483647), x >= ${f}(2147483648.0)), ${i}(0), is_nan${n}(x));
}`,
  },
  to_u32: {
    needs: ['is_nan'],
    text: ({ f, u, n }) =>
      `fn to_u32${n}(x: ${f}) -> ${u} {
  let inside = ${u}(clamp(x, ${f}(0.0), ${f}(4294967040.0)));
  return select(select(inside, ${u}(0xffffffffu), x >= ${f}(4294967296.0)), ${u}(0u), is_nan${n}(x));
}`,
  },
  /** The nearest f32 that a half can hold, ties to even: by integers, since WGSL does not say how it rounds. */
  round_half: {
    text: ({ f, u, n }) =>
      `fn round_half${n}(x: ${f}) -> ${f} {
  let bits = bitcast<${u}>(x);
  let size = bits & ${u}(0x7fffffffu);
  let rounded = (size + ${u}(0xfffu) + ((size >> ${u}(13u)) & ${u}(1u))) & ${u}(0xffffe000u);
  let normal = select(rounded, ${u}(0x7f800000u), rounded >= ${u}(0x47800000u));
  let drop = min(${u}(126u) - min(size >> ${u}(23u), ${u}(126u)), ${u}(25u));
  let digits = (size & ${u}(0x7fffffu)) | ${u}(0x800000u);
  let kept = digits >> drop;
  let up = (digits + ((${u}(1u) << drop) >> ${u}(1u)) - ${u}(1u) + (kept & ${u}(1u))) >> drop;
  let small = bitcast<${u}>(${f}(up) * 5.9604644775390625e-8);
  let number = select(normal, small, size < ${u}(0x38800000u));
  let result = select(number, ${u}(0x7fc00000u), size > ${u}(0x7f800000u));
  return bitcast<${f}>(result | (bits & ${u}(0x80000000u)));
}`,
  },
  /** The bits of the half that an f32 is, if it is one. */
  half_bits: {
    text: ({ f, u, n }) =>
      `fn half_bits${n}(x: ${f}) -> ${u} {
  let bits = bitcast<${u}>(x);
  let size = bits & ${u}(0x7fffffffu);
  let normal = (size >> ${u}(13u)) - ${u}(0x1c000u);
  let small = ${u}(bitcast<${f}>(min(size, ${u}(0x38800000u))) * 16777216.0);
  let special = select(${u}(0x7c00u), ${u}(0x7e00u), size > ${u}(0x7f800000u));
  let number = select(normal, small, size < ${u}(0x38800000u));
  return select(number, special, size >= ${u}(0x47800000u)) | ((bits >> ${u}(16u)) & ${u}(0x8000u));
}`,
  },
  half_of: {
    text: () =>
      'fn half_of_1(word: u32, at: u32) -> f32 { return unpack2x16float(word >> ((at & 1u) * 16u)).x; }',
  },
  halves_of: {
    text: () =>
      'fn halves_of_4(words: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)); }',
  },
  // Builtin functions may turn NaN into numbers; training that diverges has to show.
  exp_nan: {
    needs: ['is_nan'],
    text: ({ f, n }) => `fn exp_nan${n}(x: ${f}) -> ${f} { return select(exp(x), x, is_nan${n}(x)); }`,
  },
  log_nan: {
    needs: ['is_nan', 'from_bits'],
    text: ({ f, u, n }) =>
      `fn log_nan${n}(x: ${f}) -> ${f} {
  let y = select(log(x), from_bits${n}(${u}(0xff800000u)), x == ${f}(0.0));
  return select(select(y, from_bits${n}(${u}(0x7fc00000u)), x < ${f}(0.0)), x, is_nan${n}(x));
}`,
  },
  /** Sine of `x + quarter · π/2`: quadrants taken off with π/2 in three parts, then Taylor series on ±π/4. */
  sine: {
    text: ({ f, i, n }) =>
      `fn sine${n}(x: ${f}, quarter: i32) -> ${f} {
  let k = round(x * 0.6366197723675814);
  let r = ((x - k * 1.5703125) - k * 0.0004837512969970703) - k * 7.549789948768648e-8;
  let z = r * r;
  let s = r + r * z * ${horner([-1 / 6, 1 / 120, -1 / 5040, 1 / 362880], 'z')};
  let c = 1.0 - 0.5 * z + z * z * ${horner([1 / 24, -1 / 720, 1 / 40320, -1 / 3628800], 'z')};
  let q = ${i}(k) + ${i}(quarter);
  let v = select(s, c, (q & ${i}(1)) == ${i}(1));
  return select(v, -v, (q & ${i}(2)) == ${i}(2));
}`,
  },
  /** A rational function near 0, where exponentials lose digits; beyond 10 it is ±1, so nothing overflows. */
  tanh_nan: {
    needs: ['is_nan'],
    text: ({ f, n }) =>
      `fn tanh_nan${n}(x: ${f}) -> ${f} {
  let z = x * x;
  let near = x * (945.0 + z * (105.0 + z)) / (945.0 + z * (420.0 + z * 15.0));
  let size = select(abs(x), ${f}(10.0), abs(x) > ${f}(10.0));
  let far = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
  let y = select(select(far, -far, x < ${f}(0.0)), near, abs(x) < ${f}(0.6));
  return select(y, x, is_nan${n}(x));
}`,
  },
  erf: {
    needs: ['is_nan'],
    text: ({ f, n }) =>
      `fn erf${n}(x: ${f}) -> ${f} {
  let z = x * x;
  let near = x * ${horner(erfSmall, 'z')};
  let size = select(abs(x), ${f}(4.0), abs(x) > ${f}(4.0));
  let far = 1.0 - exp(${horner(erfTail, 'size')});
  let y = select(select(far, -far, x < ${f}(0.0)), near, abs(x) < ${f}(1.0));
  return select(y, x, is_nan${n}(x));
}`,
  },
};

const order = Object.keys(helpers);

/** The texts of the named helpers and of what they need, each once, in a fixed order. */
export function helperText(names: Iterable<string>): string[] {
  const wanted = new Set<string>();
  for (const name of names) {
    const [, base = '', ending = ''] = /^(.*)(_[14])$/.exec(name) ?? [];
    for (const needed of helpers[base]?.needs ?? []) wanted.add(needed + ending);
    wanted.add(name);
  }
  const texts: string[] = [];
  for (const base of order) {
    for (const n of ['_1', '_4']) {
      const type = (element: string) => (n === '_1' ? element : `vec4<${element}>`);
      const t = { f: type('f32'), i: type('i32'), u: type('u32'), b: type('bool'), n };
      if (wanted.has(base + n)) texts.push((helpers[base] as Helper).text(t));
    }
  }
  return texts;
}
