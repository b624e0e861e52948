/** The commands of `clip-in`, in the order of its help. A new command is a file beside this one and a line here. */
import { demoCommand } from './demo';
import { evalCommand } from './eval';
import type { AddCommand } from './shared';
import { trainCommand } from './train';

/** All commands. */
export const commands: readonly AddCommand[] = [trainCommand(), evalCommand(), demoCommand()];
