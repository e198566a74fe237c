// Answers for tests/xff_oracle.rs: a case a line in, `[address, whether it is trusted]` a line out.
"use strict";

const proxyaddr = require("proxy-addr");

const answers = [];
for (const line of require("node:fs").readFileSync(0, "utf8").split("\n")) {
  if (line === "") continue;
  const { peer, chain, trusted } = JSON.parse(line);
  const trust = proxyaddr.compile(trusted);
  const headers = chain === null ? {} : { "x-forwarded-for": chain };
  const address = proxyaddr({ headers, socket: { remoteAddress: peer } }, trust);
  answers.push(JSON.stringify([address, trust(address)]));
}
process.stdout.write(answers.join("\n") + "\n");
