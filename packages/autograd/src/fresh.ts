/** New tensors with the value of others, for tapes to tell apart. */
import { Tensor } from '@clipin/tensor';

/** The same value under a new identity; costs nothing when computed. */
export const fresh = (x: Tensor): Tensor => Tensor.record({ kind: 'reshape' }, [x], x.shape, x.dtype);
