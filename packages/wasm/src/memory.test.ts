/** The allocator: blocks never meet, what is given back is found again, memory grows to its limit and no further. */
import { checkProperty } from '@clipin/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Allocator } from './memory';

const page = 65536;

describe('allocator', () => {
  test('live blocks are aligned, inside the memory, and apart', () => {
    const action = fc.oneof(
      fc.record({ bytes: fc.oneof(fc.nat(300), fc.nat(200_000)) }),
      fc.record({ release: fc.nat() }),
    );
    checkProperty(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const allocator = new Allocator(false, 400);
        const live: { start: number; end: number }[] = [];
        for (const step of actions) {
          if ('bytes' in step) {
            const start = allocator.allocate(step.bytes);
            const end = start + Math.max(1, step.bytes);
            expect(start % 64).toBe(0);
            expect(end).toBeLessThanOrEqual(allocator.memory.buffer.byteLength);
            expect(live.some((other) => start < other.end && other.start < end)).toBe(false);
            live.push({ start, end });
          } else if (live.length > 0) {
            const [gone] = live.splice(step.release % live.length, 1);
            if (gone) allocator.deallocate(gone.start);
          }
        }
      }),
    );
  });

  test('freed neighbours merge, in any order, so that all of the memory can be had again in one piece', () => {
    checkProperty(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
        const allocator = new Allocator(false, 256);
        const blocks = order.map(() => allocator.allocate(2 ** 20));
        for (const number of order) allocator.deallocate(blocks[number] as number);
        const before = allocator.memory.buffer.byteLength;
        expect(allocator.allocate(before - 1024)).toBe(64);
        expect(allocator.memory.buffer.byteLength).toBe(before);
      }),
    );
  });

  test('grows when a block does not fit, and keeps what was written', () => {
    const allocator = new Allocator(true, 65536);
    const first = allocator.allocate(64);
    new Uint8Array(allocator.memory.buffer)[first] = 7;
    const large = allocator.allocate(600 * page);
    expect(allocator.memory.buffer.byteLength).toBeGreaterThan(large + 600 * page);
    expect(new Uint8Array(allocator.memory.buffer)[first]).toBe(7);
  });

  test('what cannot be had is an error with the sizes, after which smaller blocks still can', () => {
    const allocator = new Allocator(false, 300);
    allocator.allocate(100 * page);
    expect(() => allocator.allocate(250 * page)).toThrow(
      `out of memory: ${250 * page} bytes asked for, ${100 * page} in use, at most ${300 * page} to be had`,
    );
    expect(() => allocator.allocate(150 * page)).not.toThrow();
  });

  test('a block given back twice is an error', () => {
    const allocator = new Allocator(false);
    const block = allocator.allocate(10);
    allocator.deallocate(block);
    expect(() => allocator.deallocate(block)).toThrow('no block starts at');
  });
});
