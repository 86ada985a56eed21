// Search while typing: asks the server for the block `found` of the search page. Without this script the form works
// as any form does.
const box = document.getElementById("q");
const found = document.getElementById("found");
let waiting, asked;

box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(search, 150);
});

async function search() {
  asked?.abort();
  asked = new AbortController();
  const words = box.value.trim();
  const address = words ? "/search?q=" + encodeURIComponent(words) : "/search";
  try {
    const answer = await fetch(address, { headers: { "HX-Target": "found" }, signal: asked.signal });
    if (!answer.ok) return;
    found.innerHTML = await answer.text();
    document.getElementById("told").textContent = found.querySelector("[data-number]").textContent;
    history.replaceState(null, "", address);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}
