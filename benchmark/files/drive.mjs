// The loops of every case: so many operations in flight, started one after the other.
//
// A variant gives `one`, which starts operation i for loop l. What it brings is given to `check`,
// which throws when it is not what the files hold: nobody wins by not reading.

/** Promises: `one(i, l)` gives one. */
async function promises({ one, check }, inFlight, meter) {
  let next = 0;
  const loop = async (_, l) => {
    let i;
    do {
      i = next++;
      check(await one(i, l), i, l);
    } while (meter.add(1));
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
}

/** Callbacks: `one(i, l, done)`, where done is (error, value). */
function callback({ one, check }, inFlight, meter) {
  let next = 0;
  const loop = (_, l) =>
    new Promise((resolve, reject) => {
      let i = next++;
      const done = (error, value) => {
        if (error) return reject(error);
        try {
          check(value, i, l);
        } catch (wrong) {
          return reject(wrong);
        }
        if (!meter.add(1)) return resolve();
        i = next++;
        one(i, l, done);
      };
      one(i, l, done);
    });
  return Promise.all(Array.from({ length: inFlight }, loop));
}

/** Synchronous functions: one after the other, whatever was asked for. */
function sync({ one, check }, inFlight, meter) {
  let i = 0;
  do {
    check(one(i, i % inFlight), i, i % inFlight);
    i++;
  } while (meter.add(1));
}

/** Tasks of the runtime: `one(i, l)` is a generator. */
async function tasks({ one, check, run }, inFlight, meter) {
  let next = 0;
  const loop = (l) =>
    run(function* () {
      let i;
      do {
        i = next++;
        check(yield* one(i, l), i, l);
      } while (meter.add(1));
    });
  await Promise.all(Array.from({ length: inFlight }, (_, l) => loop(l)));
}

/** One at a time, each with what has to be made ready before, which is not measured. */
async function whole({ one, check, before, run }, _inFlight, meter) {
  let more = true;
  for (let i = 0; more; i++) {
    meter.pause();
    await before?.(i);
    meter.resume();
    const value = run ? await run(() => one(i, 0)) : await one(i, 0);
    // Before the check: it may read back what was written.
    more = meter.add(1);
    meter.pause();
    await check(value, i, 0);
    meter.resume();
  }
}

const kinds = { callback, sync, op: tasks };

/** Runs a variant until the meter has enough. */
export async function drive(name, variant, { inFlight, isWhole }, meter) {
  await (isWhole ? whole : (kinds[name] ?? promises))(variant, inFlight, meter);
  await variant.end?.();
}
