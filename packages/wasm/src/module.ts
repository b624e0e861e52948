/** Functions and modules of WebAssembly: locals, imports, exports and sections around the code of `code.ts`. */
import type { Sgemm } from './blas';
import { type Code, doWhile, flatten, ifElse, op, plus, unsigned, type ValueType, valueTypes } from './code';

/** A parameter or local variable of a function under construction. */
export class Local {
  constructor(
    readonly index: number,
    readonly type: ValueType,
  ) {}

  get get(): Code {
    return [0x20, unsigned(this.index)];
  }

  set(value: Code): Code {
    return [value, 0x21, unsigned(this.index)];
  }

  /** Adds a constant to an i32. */
  add(constant: number): Code {
    return constant === 0 ? [] : this.set(plus(this.get, constant));
  }
}

/** A function under construction: hands out locals, then takes its body. */
export class FunctionBuilder {
  readonly params: Local[];
  readonly results: readonly ValueType[];
  readonly locals: Local[] = [];
  body: Code = [];

  constructor(params: readonly ValueType[], results: readonly ValueType[] = []) {
    this.params = params.map((type, index) => new Local(index, type));
    this.results = results;
  }

  local(type: ValueType): Local {
    const local = new Local(this.params.length + this.locals.length, type);
    this.locals.push(local);
    return local;
  }

  param(index: number): Local {
    const local = this.params[index];
    if (!local)
      throw new RangeError(`function has ${this.params.length} parameters, asked for number ${index}`);
    return local;
  }

  /** Counts `counter` from where it stands, in steps, while it is below `end` (signed). */
  count(counter: Local, end: Code, step: number, body: Code): Code {
    const below = op('i32.lt_s', counter.get, end);
    return ifElse(below, doWhile([body, counter.add(step)], below));
  }

  /** `count` from a start. */
  loop(counter: Local, start: Code, end: Code, body: Code, step = 1): Code {
    return [counter.set(start), this.count(counter, end, step, body)];
  }
}

interface Import {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Functions from JavaScript that every module imports, by index: `call(imported.sin, …)`. */
const imports: readonly Import[] = [
  { name: 'sin', params: ['f64'], results: ['f64'] },
  { name: 'cos', params: ['f64'], results: ['f64'] },
  { name: 'sgemm', params: Array.from({ length: 11 }, () => 'i32'), results: [] },
];

/** Function indices of the imports. */
export const imported = { sin: 0, cos: 1, sgemm: 2 } as const;

/** What an instance of any module imports, beside its memory; `sgemm` is another's where there is a BLAS. */
export const importedFunctions: { sin: typeof Math.sin; cos: typeof Math.cos; sgemm: Sgemm } = {
  sin: Math.sin,
  cos: Math.cos,
  sgemm: () => {
    throw new Error('wasm: sgemm was called without a BLAS');
  },
};

const text = (value: string): number[] => {
  const bytes = new TextEncoder().encode(value);
  return [...unsigned(bytes.length), ...bytes];
};

/** A section in parts: its head, then its entries, not copied until all is known. */
const section = (id: number, entries: readonly number[][]): number[][] => {
  if (entries.length === 0) return [];
  const count = unsigned(entries.length);
  const size = entries.reduce((sum, entry) => sum + entry.length, count.length);
  return [[id, ...unsigned(size), ...count], ...entries];
};

const functionType = (params: readonly ValueType[], results: readonly ValueType[]): number[] => [
  0x60,
  ...unsigned(params.length),
  ...params.map((type) => valueTypes[type]),
  ...unsigned(results.length),
  ...results.map((type) => valueTypes[type]),
];

const functionBody = (builder: FunctionBuilder): number[] => {
  const runs: { type: ValueType; count: number }[] = [];
  for (const { type } of builder.locals) {
    const last = runs[runs.length - 1];
    if (last?.type === type) last.count++;
    else runs.push({ type, count: 1 });
  }
  const locals = runs.flatMap(({ type, count }) => [...unsigned(count), valueTypes[type]]);
  const content = flatten([unsigned(runs.length), locals, builder.body, 0x0b]);
  return unsigned(content.length).concat(content);
};

/** Most pages of 64 KiB that a memory may have: 4 GiB. */
export const maxPages = 65536;

/** A module that imports a memory and the functions of `importedFunctions`, and exports what `export` was given. */
export class ModuleBuilder {
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { name: string; index: number }[] = [];
  private readonly helpers = new Map<string, number>();

  /** Adds a function; gives the index that `call` wants. */
  add(builder: FunctionBuilder): number {
    this.functions.push(builder);
    return imports.length + this.functions.length - 1;
  }

  /** Adds a function that several others call, the first time that its key is asked for; gives its index. */
  helper(key: string, make: () => FunctionBuilder): number {
    const index = this.helpers.get(key) ?? this.add(make());
    this.helpers.set(key, index);
    return index;
  }

  export(name: string, index: number): void {
    this.exports.push({ name, index });
  }

  /** The module in the binary format. `sharedMemory`: whether the memory it imports is shared. */
  bytes(sharedMemory: boolean): Uint8Array<ArrayBuffer> {
    const memory = sharedMemory
      ? [0x02, 0x03, ...unsigned(0), ...unsigned(maxPages)]
      : [0x02, 0x00, ...unsigned(0)];
    const types = [
      ...imports,
      ...this.functions.map((f) => ({ params: f.params.map((p) => p.type), results: f.results })),
    ];
    const parts = [
      [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...section(
        1,
        types.map((type) => functionType(type.params, type.results)),
      ),
      ...section(2, [
        [...text('env'), ...text('memory'), ...memory],
        ...imports.map(({ name }, index) => [...text('env'), ...text(name), 0x00, ...unsigned(index)]),
      ]),
      ...section(
        3,
        this.functions.map((_, index) => unsigned(imports.length + index)),
      ),
      ...section(
        7,
        this.exports.map(({ name, index }) => [...text(name), 0x00, ...unsigned(index)]),
      ),
      ...section(10, this.functions.map(functionBody)),
    ];
    const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let offset = 0;
    for (const part of parts) {
      result.set(part, offset);
      offset += part.length;
    }
    return result;
  }
}
