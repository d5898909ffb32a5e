// One line a check; the process fails when one of them did.
let failed = 0, passed = 0;

export function check(ok, what, detail = '') {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}${!ok && detail !== '' ? `: ${detail}` : ''}`);
  return ok;
}

export function equal(got, want, what) {
  const a = JSON.stringify(got), b = JSON.stringify(want);
  return check(a === b, what, `got ${a}, want ${b}`);
}

export function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

/** Runs the test, closes what it opened, and ends the process. */
export async function run(test) {
  const open = [];
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
