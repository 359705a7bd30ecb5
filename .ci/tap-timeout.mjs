// Loaded into ava beside its TAP reporter, which fails by itself where it should name the tests
// that have not ended (ava 7.0.0): each of them is a failed test here.

import TapReporter from '../node_modules/ava/lib/reporters/tap.js';

TapReporter.prototype.writeTimeout = function writeTimeout({ pendingTests, period }) {
  for (const [file, titles] of pendingTests) {
    for (const title of titles) {
      this.i++;
      const line = `not ok ${this.i} - ${this.prefixTitle(file, title)}`;
      const text = `it has not ended, and no other test has for ${period / 1000} s`;
      this.reportStream.write(`${line}\n  ---\n    message: ${text}\n  ...\n`);
    }
  }
};

// The processes of the test files are started with the arguments of this one, and do not need it.
const own = process.execArgv.findIndex((argument) => argument.includes('tap-timeout.mjs'));
if (own >= 0) process.execArgv.splice(own, 1);
