/** Looking for something while it is typed. */

const WAIT_MS = 200;

/**
 * Search by what stands in a field, a moment after the last key: `ask(q)` answers, `show(answer, q)`
 * and `fail(problem)` show what came. Only the newest question is shown. Returns `{look, end}`.
 */
export function searching(field, { ask, show, fail }) {
  let timer = null;
  let asked = 0;

  async function look() {
    const mine = ++asked;
    const q = field.value.trim();
    try {
      const answer = await ask(q);
      if (mine === asked) show(answer, q);
    } catch (problem) {
      if (mine === asked) fail(problem);
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  });
  return {
    look,
    end() {
      clearTimeout(timer);
      asked += 1;
    },
  };
}
