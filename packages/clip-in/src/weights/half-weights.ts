/** Which parameters are kept in half precision: matrices and tables, which are nearly all of a model. */
import { evaluate, leaves, mapTree, type Tensor } from '@clipin/tensor';

/** Element type of the weights of a model on its device. */
export type WeightDType = 'f32' | 'f16';

/** The element type of a parameter: gains, biases, the class token and scales stay f32, since they take no room. */
export const parameterDType = ({ rank }: Pick<Tensor, 'rank'>, weights: WeightDType): WeightDType =>
  rank >= 2 ? weights : 'f32';

/** Bytes of parameters on a device. */
export const bytesOfParams = (params: unknown, weights: WeightDType): number =>
  leaves(params).reduce(
    (sum, { tensor }) => sum + tensor.size * (parameterDType(tensor, weights) === 'f16' ? 2 : 4),
    0,
  );

/** The same parameters with matrices and tables in half precision. */
export const halveWeights = <T>(params: T): T =>
  evaluate(mapTree((parameter) => parameter.cast(parameterDType(parameter, 'f16')), params));
