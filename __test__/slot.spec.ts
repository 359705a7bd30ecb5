import test from 'ava';
import fc from 'fast-check';
import { Slots } from '../src/slot.ts';

const numRuns = process.env.RINGCORE_STRESS === '1' ? 2560 : 256;

test('a freed place is used again first', (t) => {
  const slots = new Slots<string>();
  const tickets = ['a', 'b', 'c', 'd'].map((value) => slots.insert(value));
  t.deepEqual(tickets, [0, 1, 2, 3]);
  slots.remove(1);
  slots.remove(2);
  t.is(slots.insert('e'), 2);
  t.is(slots.size, 3);
});

// PAIR: only-typescript -- a key has a generation, a ticket is only a place
test('a ticket stands for its own operation from insert to remove', (t) => {
  const property = fc.property(fc.array(fc.nat(99), { maxLength: 400 }), (steps) => {
    const slots = new Slots<object>();
    const model = new Map<number, object>();
    for (const step of steps) {
      const tickets = [...model.keys()];
      if (step < 55 || tickets.length === 0) {
        const value = {};
        const ticket = slots.insert(value);
        if (model.has(ticket)) return false;
        model.set(ticket, value);
      } else {
        const ticket = tickets[step % tickets.length];
        slots.remove(ticket);
        model.delete(ticket);
        if (slots.get(ticket) !== null) return false;
      }
      if (slots.size !== model.size) return false;
      for (const [ticket, value] of model) if (slots.get(ticket) !== value) return false;
    }
    return slots.all().length === model.size;
  });
  t.notThrows(() => fc.assert(property, { numRuns }));
});
