// Questions to the server. The token comes in the address's fragment, which browsers send to nobody, and is kept for the tab.
const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.get("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  fragment.delete("token");
  history.replaceState(null, "", location.pathname + location.search + (fragment.size ? `#${fragment}` : ""));
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = {"X-Burnish": "review", "Accept-Language": document.documentElement.lang, ...(token ? {Authorization: `Bearer ${token}`} : {}), ...options.headers};
  let answer;
  try {
    answer = await fetch(path, {...options, headers});
  } catch {
    throw Object.assign(new Error("lost"), {lost: true});
  }
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error?.message ?? answer.statusText);
  return body;
}

export const get = (name, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return ask(`api/${name}?${new URLSearchParams(given)}`);
};
export const post = (name, body) =>
  ask(`api/${name}`, {method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json"}});
