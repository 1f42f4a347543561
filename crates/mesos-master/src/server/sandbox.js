// Follows stdout and stderr of a sandbox: asks for what came after what is shown.
"use strict";
const sandbox = document.getElementById("sandbox");
const LARGEST_SHOWN = 1000000;
for (const shown of sandbox.querySelectorAll("pre")) {
  const name = shown.dataset.file;
  const note = sandbox.querySelector(`[data-note=${name}]`);
  let offset = 0;
  const follow = async () => {
    let pause = 1000;
    try {
      const query = new URLSearchParams({ agent: sandbox.dataset.agent, path: `${sandbox.dataset.path}/${name}`, offset });
      const answer = await fetch(`/sandbox/read?${query}`);
      if (answer.ok) {
        const { data, size } = await answer.json();
        if (data.length > 0) {
          const end = shown.scrollTop + shown.clientHeight >= shown.scrollHeight - 5;
          shown.textContent = (shown.textContent + data).slice(-LARGEST_SHOWN);
          if (end) shown.scrollTop = shown.scrollHeight;
          offset += size;
          pause = 50;
        }
        note.textContent = `${offset} bytes`;
      } else {
        note.textContent = await answer.text();
        pause = 3000;
      }
    } catch (error) {
      note.textContent = `the master does not answer: ${error.message}`;
      pause = 3000;
    }
    setTimeout(follow, pause);
  };
  follow();
}
