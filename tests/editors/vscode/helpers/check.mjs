// One line a check; the process fails when one of them did.
let failed = 0, passed = 0;

export function check(ok, what, detail = '') {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${!ok && detail !== '' ? `: ${detail}` : ''}`);
  return ok;
}

/** Long texts are told from where they part. */
export function equal(got, want, what) {
  const a = JSON.stringify(got), b = JSON.stringify(want);
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  const from = Math.max(same - 30, 0), part = (s) => s.slice(from, from + 300);
  return check(a === b, what, `got ${part(a)}, want ${part(b)}`);
}

export function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

/** Runs the test, closes what it opened, and ends the process. */
export async function run(test) {
  const open = [];
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.once(signal, () => Promise.all(open.map((t) => t.close())).then(() => process.exit(1)));
  try {
    await test((thing) => (open.push(thing), thing));
  } catch (e) {
    check(false, 'the test runs to its end', e.stack);
    for (const thing of open) await thing.shot?.('error').catch(() => undefined);
  }
  for (const thing of open.reverse()) await thing.close();
  console.log(`${passed} checks passed, ${failed} failed`);
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}
