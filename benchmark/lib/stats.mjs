// Small arithmetic that every table uses.

/** The middle of the values; undefined when there are none. */
export function median(values) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return (sorted[middle - 1] + sorted[middle]) / 2;
}

/** a[r] / b[r] for each round that both have. */
export function ratios(a, b) {
  const found = [];
  for (let round = 0; round < Math.min(a.length, b.length); round++) {
    if (a[round] !== null && b[round] !== null) found.push(a[round] / b[round]);
  }
  return found;
}

/** What was measured: a round in which a process failed is null. */
export function present(values) {
  return (values ?? []).filter((value) => value !== null && value !== undefined);
}

/** Three digits, as many as a noisy machine deserves. */
export function show(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return '-';
  const size = Math.abs(value);
  if (size >= 10_000) return `${Math.round(value / 100) / 10}k`;
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
}
