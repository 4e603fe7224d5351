// The live page: says whether the stream lives, and draws the chart from its table. The page works without it.
(() => {
  "use strict";
  const live = document.getElementById("live");
  const pill = document.getElementById("stream");
  const STALE_MS = 6000;
  const RETRY_MS = 5000;
  let lastAt = 0;
  let isConnected = false;
  let chart = null;

  const say = (state, text) => {
    if (pill.dataset.state === state) return;
    pill.dataset.state = state;
    pill.firstElementChild.textContent = text;
  };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const read = () => {
    const rows = [...document.querySelectorAll("#minutes tbody tr:not([data-open])")].reverse();
    const column = (name) => rows.map((row) => Number(row.dataset[name]));
    return [column("at"), column("assigned"), column("missed")];
  };

  const options = (width, height) => {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `${0.75 * rem}px system-ui` };
    // The server's labels: they are in the time zone of the call centre, not in the browser's.
    const clock = (at) => document.querySelector(`#minutes tr[data-at="${at}"]`)?.dataset.time ?? "";
    return {
      width,
      height,
      padding: [8, 1.5 * rem, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, Math.max(5, high * 1.1)] } },
      axes: [
        { ...axis, size: 1.75 * rem, grid: { show: false }, values: (_, ticks) => ticks.map(clock) },
        { ...axis, size: 2.75 * rem, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick.toLocaleString() : "")) },
      ],
      series: [
        {},
        { stroke: colour("--accent"), fill: colour("--accent-soft"), width: 2, points: { show: false } },
        { stroke: colour("--warn"), width: 2, points: { show: false } },
      ],
    };
  };

  const draw = (isNew) => {
    const box = document.getElementById("chart");
    const data = read();
    if (!box || data[0].length < 2) return;
    if (isNew || !chart || !box.contains(chart.root)) {
      chart?.destroy();
      const { clientWidth, clientHeight } = box;
      box.replaceChildren();
      chart = new uPlot(options(clientWidth, clientHeight), data, box);
      sizes.disconnect();
      sizes.observe(box);
    } else {
      chart.setData(data);
    }
  };

  const sizes = new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    if (chart && width && (width !== chart.width || height !== chart.height)) chart.setSize({ width, height });
  });

  live.addEventListener("htmx:sse:after:connection", () => {
    isConnected = true;
  });
  live.addEventListener("htmx:sse:after:message", () => {
    lastAt = performance.now();
    say("on", "Live");
    draw(false);
  });
  live.addEventListener("htmx:sse:error", (event) => {
    // The session is over: the page itself says where to sign in.
    if (event.detail.status === 401 || event.detail.status === 403) location.reload();
    say("wait", "Reconnecting");
  });
  live.addEventListener("htmx:sse:close", () => {
    isConnected = false;
    say("wait", "Reconnecting");
  });
  setInterval(() => {
    if (document.hidden) return;
    if (performance.now() - lastAt > STALE_MS) say("wait", "Reconnecting");
    // The extension reconnects a stream that broke; a stream that never began is begun again here.
    if (!isConnected) htmx.trigger(live, "rotator:connect");
  }, RETRY_MS);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(true));

  say("wait", "Connecting");
  draw(true);
})();
