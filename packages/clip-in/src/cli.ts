/** The command `clip-in`: runs the command line, and says in one message what went wrong. */
import { commandLine } from './commandLine';
import { commands } from './commands';

try {
  await commandLine(commands).parseAsync();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  console.error(process.env.DEBUG && error instanceof Error ? error : `clip-in: ${message}`);
  process.exitCode = 1;
}
