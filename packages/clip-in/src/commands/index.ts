/** The commands of `clip-in`, in the order of its help. A new command is a file beside this one and a line here. */
import { classifyCommand } from './classify';
import { convertCommand } from './convert';
import { demoCommand } from './demo';
import { evalCommand } from './eval';
import { exportCommand } from './export';
import { heatmapCommand } from './heatmap';
import { indexCommand } from './index-pictures';
import { searchCommand } from './search';
import type { AddCommand } from './shared';
import { trainCommand } from './train';

/** All commands. */
export const commands: readonly AddCommand[] = [
  trainCommand(),
  evalCommand(),
  demoCommand(),
  classifyCommand(),
  indexCommand(),
  searchCommand(),
  heatmapCommand(),
  exportCommand(),
  convertCommand(),
];
