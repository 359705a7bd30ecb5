// Reads what ava prints.

/** Reads TAP as it comes: a test's line, then whatever belongs to it until the next one. */
export function tapReader(onTest) {
  let rest = '';
  let open;
  const close = () => {
    if (open) onTest(open.state, open.title, open.lines);
    open = undefined;
  };
  return (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const test = /^(not )?ok \d+ - (.*?)( # (SKIP|TODO)\b.*)?$/.exec(line);
      if (test) {
        close();
        open = { state: test[3] ? 'skipped' : test[1] ? 'failed' : 'passed', title: test[2] };
        open.lines = [];
      } else if (/^1\.\.\d+/.test(line)) close();
      else if (open && line.trim() !== '') open.lines.push(line);
    }
  };
}
