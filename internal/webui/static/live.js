// Keeps a page that already works without this script up to date: swaps the
// fragments the server sends, shows times in the browser's zone, remembers the
// theme. It builds no HTML of its own.
(function () {
  "use strict";
  var root = document.documentElement;

  function stored() { try { return localStorage.getItem("theme"); } catch (e) { return null; } }
  function store(v) { try { localStorage.setItem("theme", v); } catch (e) { /* private window */ } }
  function applyTheme(v) { if (v === "dark" || v === "light") { root.dataset.theme = v; } else { delete root.dataset.theme; } }
  if (!root.dataset.theme) { applyTheme(stored()); }

  var two = function (n) { return (n < 10 ? "0" : "") + n; };
  var months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  function show(ms, form) {
    var d = new Date(ms), hm = two(d.getHours()) + ":" + two(d.getMinutes());
    if (form === "day") { return d.getDate() + " " + months[d.getMonth()]; }
    if (form === "dayhm") { return d.getDate() + " " + months[d.getMonth()] + ", " + hm; }
    if (form === "hms") { return hm + ":" + two(d.getSeconds()); }
    if (form === "full") { return d.getDate() + " " + months[d.getMonth()] + " " + d.getFullYear() + ", " + hm; }
    return hm;
  }
  function localise(scope) {
    scope.querySelectorAll("time[datetime][data-form]").forEach(function (t) {
      var ms = Date.parse(t.getAttribute("datetime"));
      if (isNaN(ms)) { return; }
      t.title = new Date(ms).toString();
      t.textContent = show(ms, t.dataset.form);
    });
    scope.querySelectorAll("svg [data-ms]").forEach(function (t) { t.textContent = show(Number(t.dataset.ms), t.dataset.form); });
    scope.querySelectorAll("[data-zone]").forEach(function (t) { t.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "local time"; });
  }

  // Open state of <details> and the focused element survive a swap.
  function swap(id, html) {
    var el = document.getElementById(id);
    if (!el) { return; }
    var open = [], focus = el.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("href") : "";
    el.querySelectorAll("details[open][id]").forEach(function (d) { open.push(d.id); });
    el.innerHTML = html;
    open.forEach(function (d) { var n = document.getElementById(d); if (n) { n.open = true; } });
    if (focus) {
      var again = document.getElementById(focus) || Array.prototype.find.call(el.querySelectorAll("a[href]"), function (a) { return a.getAttribute("href") === focus; });
      if (again) { again.focus({ preventScroll: true }); }
    }
    localise(el);
  }

  // Fetches the page itself and swaps its live elements; one fetch at a time, at
  // most one in two seconds.
  var busy = false, next = 0;
  function refetch() {
    if (busy || Date.now() < next) { return; }
    busy = true; next = Date.now() + 2000;
    fetch(location.href, { cache: "no-store" }).then(function (r) { return r.ok ? r.text() : ""; }).then(function (text) {
      new DOMParser().parseFromString(text, "text/html").querySelectorAll("[id^=live-]").forEach(function (el) { swap(el.id, el.innerHTML); });
    }).catch(function () { /* the next event tries again */ }).finally(function () { busy = false; });
  }

  function follow(url, event, act) {
    var feed = document.getElementById("feed"), lost = 0;
    function say(state, text) { if (feed) { feed.dataset.state = state; feed.textContent = text; } }
    var source = new EventSource(url);
    source.addEventListener("open", function () { lost = 0; say("live", "live"); });
    source.addEventListener(event, act);
    source.addEventListener("error", function () {
      if (!lost) { lost = Date.now(); }
      say("lost", "not updating since " + show(lost, "hm"));
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    localise(document);
    document.querySelectorAll("input[name=theme]").forEach(function (i) {
      i.checked = i.value === (root.dataset.theme || "auto");
      i.addEventListener("change", function () { store(i.value); applyTheme(i.value); });
    });
    var live = document.body.dataset.live, reload = document.body.dataset.reload;
    if (live) { follow(live, "swap", function (e) { var m = JSON.parse(e.data); swap(m.id, m.html); }); }
    if (reload) { follow(reload, "status", refetch); }
  });
})();
