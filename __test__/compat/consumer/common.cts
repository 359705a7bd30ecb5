// The same package for a CommonJS project: require() of it works from Node 20.19 on.

import ringcore = require('ringcore');

const found: ringcore.Probe = ringcore.probe();
// @ts-expect-error -- there is no default export
void ringcore.default;
void found.backend;
