#!/usr/bin/env node
// A file of the repository, not of the build, so that npm can link the command before the first build.
import '../dist/cli.js';
