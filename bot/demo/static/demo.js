// The demo's extra bar: other channels and threads, posting files, the message menu.
// It learns the page's credentials from the page's own requests and speaks to /api/action with a header of its own.
(() => {
  const credentials = { capability: null, context: null };
  const stockFetch = window.fetch.bind(window);
  window.fetch = (input, options = {}) => {
    const headers = new Headers(options.headers || {});
    credentials.capability = headers.get("X-Simcord-Capability") || credentials.capability;
    credentials.context = headers.get("X-Simcord-Context") || credentials.context;
    return stockFetch(input, options);
  };

  async function act(fields, files = []) {
    if (!credentials.context) return null;
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.append(name, value);
    for (const file of files) form.append("file", file, file.name);
    const response = await stockFetch("/api/action", {
      method: "POST", body: form, cache: "no-store",
      headers: {
        "X-Lorelei-Demo": "1",
        "X-Simcord-Capability": credentials.capability,
        "X-Simcord-Context": credentials.context,
      },
    });
    if (!response.ok) throw new Error(`the demo answered ${response.status}`);
    return response.json();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const bar = document.createElement("div");
    bar.className = "demo-bar";
    const channel = document.createElement("select");
    channel.id = "demo-channel";
    channel.setAttribute("aria-label", "Channel or thread");
    const attach = document.createElement("label");
    attach.className = "demo-button";
    attach.textContent = "Post pictures";
    const input = document.createElement("input");
    Object.assign(input, { type: "file", multiple: true, id: "demo-files", className: "demo-input" });
    attach.append(input);
    const menu = document.createElement("button");
    Object.assign(menu, { type: "button", id: "demo-menu", className: "demo-button", textContent: "Add my last post" });
    menu.title = "The message menu “Add to dataset” on your newest post with pictures";
    const status = document.createElement("span");
    status.id = "demo-status";
    status.setAttribute("role", "status");
    bar.append(channel, attach, menu, status);
    document.querySelector("#toolbar").after(bar);

    function install(answer) {
      if (!answer) return;
      status.textContent = answer.error || "";
      if (!answer.channels || document.activeElement === channel) return;
      channel.replaceChildren(...answer.channels.map((item) => {
        const option = new Option(`# ${item.name}`, item.id, item.here, item.here);
        return option;
      }));
    }
    async function run(fields, files) {
      bar.classList.add("demo-busy");
      try {
        install(await act(fields, files));
      } catch (error) {
        status.textContent = String(error.message || error);
      } finally {
        bar.classList.remove("demo-busy");
      }
    }
    channel.addEventListener("change", () => { channel.blur(); void run({ kind: "go", channel: channel.value }); });
    menu.addEventListener("click", () => void run({ kind: "menu", name: "Add to dataset" }));
    input.addEventListener("change", () => {
      const files = [...input.files].slice(0, 10);
      if (files.length) void run({ kind: "post", text: "" }, files).then(() => { input.value = ""; });
    });
    setInterval(() => { if (!bar.classList.contains("demo-busy")) void act({ kind: "channels" }).then(install, () => {}); }, 2000);
  });
})();
