// The two fetch calls that go with app.py: log in once, then call with the access token and refresh when it has expired.

let accessToken = null; // in memory only: nothing of it is left in storage
let attempt = crypto.randomUUID(); // belongs to the refresh token held: a lost answer can be asked for again

export async function login(username, password) {
  const answer = await fetch("/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }), // the refresh token comes back in an HttpOnly cookie
  });
  if (!answer.ok) throw new Error((await answer.json()).error_description);
  accessToken = (await answer.json()).accessToken;
}

export async function call(path) {
  const ask = () => fetch(path, { headers: { Authorization: `Bearer ${accessToken}` } });
  const answer = await ask();
  if (answer.status !== 401) return answer;
  await refresh();
  return ask();
}

let refreshing = null; // one refresh at a time, however many calls need it

function refresh() {
  refreshing ??= askForAnother().finally(() => (refreshing = null));
  return refreshing;
}

async function askForAnother() {
  const answer = await fetch("/refresh-token", { method: "POST", headers: { "Idempotency-Key": attempt } });
  if (!answer.ok) throw new Error((await answer.json()).error_description);
  accessToken = (await answer.json()).accessToken;
  attempt = crypto.randomUUID();
}

export async function logout() {
  await fetch("/logout", { method: "POST" });
  accessToken = null;
}
