/** Dropout. */
import { bernoulli, type Key, type Tensor, where } from '@clipin/tensor';

/**
 * Zeroes each element with probability `rate` and divides the others by `1 − rate`, so that the mean stays
 * (Srivastava et al. 2014).
 *
 * @param key - of this call alone; undefined in evaluation, where `x` comes back as it is
 */
export function dropout(x: Tensor, rate: number, key: Key | undefined): Tensor {
  if (!(rate >= 0 && rate < 1))
    throw new RangeError(`dropout: the rate is ${rate}; wants at least 0 and less than 1`);
  if (key === undefined || rate === 0) return x;
  return where(bernoulli(key, 1 - rate, x.shape), x.div(1 - rate), 0);
}
