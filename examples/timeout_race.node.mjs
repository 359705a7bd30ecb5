// timeout_race without ringcore: a stream that is listened to for a while. A read that was started
// cannot be taken back: what comes late is kept by the stream.

const ms = Number(process.argv[2] ?? 500);
if (!(ms >= 0)) {
  console.error('usage: timeout_race [MILLISECONDS]');
  process.exit(2);
}

function attempt(name) {
  return new Promise((resolve) => {
    const end = (text) => {
      clearTimeout(timer);
      process.stdin.off('readable', look).off('end', look);
      console.log(`${name}: ${text}`);
      resolve();
    };
    const look = () => {
      const chunk = process.stdin.read();
      if (chunk !== null || process.stdin.readableEnded) end(`${chunk?.length ?? 0} bytes`);
    };
    const timer = setTimeout(() => end('timed out'), ms);
    process.stdin.on('readable', look).on('end', look);
    look();
  });
}

await attempt('timeout');
await attempt('withTimeout');
process.stdin.destroy();
