/** The command `clip-in`: runs the command line, and says in one message what went wrong. */
import { commandLine } from './commandLine';
import { commands } from './commands';
import { messageOf } from './thrown';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // A reader such as `head` has had enough.
  if (error.code === 'EPIPE') process.exit();
  throw error;
});

try {
  await commandLine(commands).parseAsync();
} catch (error) {
  const message = messageOf(error);
  console.error(process.env.DEBUG && error instanceof Error ? error : `clip-in: ${message}`);
  process.exitCode = 1;
}
