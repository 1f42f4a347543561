// Links made for the pages of Apache Mesos, such as `#/agents/A/frameworks/F/executors/E/browse`, lead to ours.
"use strict";
const route = () => {
  const sandbox = location.hash.match(/^#\/(?:agents|slaves)\/([^/]+)\/frameworks\/([^/]+)\/executors\/([^/?]+)/);
  if (sandbox) {
    const [, agent, framework, executor] = sandbox;
    location.replace(`/sandbox?agent=${agent}&framework=${framework}&executor=${executor}`);
    return;
  }
  const part = location.hash.match(/^#\/(agents|frameworks|offers|roles)\b/);
  if (part) location.replace(`#${part[1]}`);
};
addEventListener("hashchange", route);
route();
