/** Measures the limits of one core for a second and prints them as JSON: a process of `limit.ts`. */
import { measureCore } from './limit';

console.log(JSON.stringify(measureCore()));
