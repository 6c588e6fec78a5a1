// Tests the page of `resnet serve` in a headless browser: choosing, dropping and pasting photos, errors, tokens,
// the keyboard, dark and narrow screens; and that nothing is asked of anyone but the service.
//
//   node page.js PROGRAM PROJECT SCREENSHOTS
"use strict";
const assert = require("node:assert/strict");
const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");

const [PROGRAM, PROJECT, SHOTS] = process.argv.slice(2);
const PHOTOS = path.join(PROJECT, "docs/photos");
const photo = (name) => path.join(PHOTOS, `${name}.png`);

function need(what, how, get) {
  try { return get(); } catch { console.error(`the page's test needs ${what}: ${how}`); process.exit(2); }
}

/** A service that is ready. */
async function serve(...words) {
  const child = spawn(PROGRAM, ["serve", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of readline.createInterface({ input: child.stderr })) {
    const event = JSON.parse(line);
    if (event.event !== "ready") continue;
    child.stderr.resume();
    return { child, url: event.url, port: new URL(event.url).port };
  }
  throw new Error("the service does not start");
}

async function stop({ child }) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

const percent = (p) => `${(100 * p).toFixed(2)}%`;

/** What `predict` says: a class with its percentage, in order. */
function predicted(file) {
  const line = execFileSync(PROGRAM, ["predict", "demo", file, "--json", "--quiet"]).toString();
  return JSON.parse(line).top.map((one) => [one.class, percent(one.probability)]);
}

/** Asserts that the article of a photo shows what `predict` says. */
async function shows(article, file) {
  const top = predicted(file);
  await article.locator("li").first().waitFor();
  assert.equal(await article.locator("h2").innerText(), top[0].join(", "));
  const rows = await article.locator(".name").evaluateAll((all) => all.map((row) => [...row.children].map((one) => one.textContent.trim())));
  assert.deepEqual(rows, top);
  const [bar, whole] = await article.locator(".bar").first().evaluate((one) => [one.firstChild.getBoundingClientRect().width, one.getBoundingClientRect().width]);
  assert.ok(Math.abs(100 * bar / whole - parseFloat(top[0][1])) < 0.5, "the bar is as long as the probability");
}

/** Drags files over the page and drops them, or pastes them. */
async function bring(page, how, files) {
  const data = files.map(([name, type, bytes]) => [name, type, bytes.toString("base64")]);
  await page.evaluate(([how, data]) => {
    const transfer = new DataTransfer();
    for (const [name, type, text] of data) {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      transfer.items.add(new File([bytes], name, { type }));
    }
    const fire = (event) => document.querySelector("main").dispatchEvent(event);
    if (how === "paste") return fire(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }));
    const drag = (name) => new DragEvent(name, { dataTransfer: transfer, bubbles: true, cancelable: true });
    const taken = !fire(drag("dragover"));
    const lit = document.querySelector("#drop").classList.contains("over");
    if (how === "drag") return { taken, lit };
    return fire(drag("drop"));
  }, [how, data]);
}

const file = (name) => [`${name}.png`, "image/png", fs.readFileSync(photo(name))];

/** The least contrast between a text and what is behind it (WCAG 2). */
const contrast = (page) => page.evaluate(() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(one).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!hasText || ["SCRIPT", "NOSCRIPT", "OPTION"].includes(element.tagName) || element.getClientRects().length === 0) continue;
    const [a, b] = [numbers(getComputedStyle(element).color).slice(0, 3), behind(element)].map(luminance);
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
});

async function main() {
  fs.mkdirSync(SHOTS, { recursive: true });
  const { chromium } = need("playwright-core", "npm install playwright-core, or PLAYWRIGHT=/path/to/playwright-core",
    () => require(process.env.PLAYWRIGHT ?? require.resolve("playwright-core", { paths: [process.cwd(), PROJECT] })));
  const executablePath = need("Chromium", "apt-get install chromium, or CHROMIUM=/path/to/chromium", () => {
    const found = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((name) => name && fs.existsSync(name));
    return found ?? assert.fail();
  });
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "check-serve-page-"));
  const services = [];
  let browser;
  try {
    const net = path.join(scratch, "other.safetensors"), tokens = path.join(scratch, "tokens");
    execFileSync(PROGRAM, ["convert", "demo", net], { stdio: "ignore" });
    fs.writeFileSync(tokens, "secret\n");
    let service = await serve("demo", net, "--port", "0");
    services.push(service);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"] });
    const messages = [], outside = [];
    const listen = (page) => {
      page.on("console", (message) => message.type() === "error" && messages.push(message.text()));
      page.on("pageerror", (error) => messages.push(error.message));
    };
    const open = async (options, url = service.url) => {
      const context = await browser.newContext({ viewport: { width: 1000, height: 800 }, colorScheme: "light", ...options });
      context.on("request", (request) => {
        const { protocol, origin } = new URL(request.url());
        if (!["blob:", "data:"].includes(protocol) && `${origin}/` !== url) outside.push(request.url());
      });
      const page = await context.newPage();
      listen(page);
      await page.goto(url);
      return page;
    };
    const page = await open({});
    // A telephone's whole page would be drawn as a desk's.
    const shot = (name, of = page) => of.screenshot({ path: path.join(SHOTS, `${name}.png`), fullPage: name !== "narrow" });
    const articles = page.locator("article"), status = page.getByRole("status"), alert = page.getByRole("alert");

    // What it says of itself.
    await page.getByText("demo: resnet20, 10 classes, photos of 32 × 32 pixels").waitFor();
    assert.equal(await page.title(), "demo · resnet");
    await page.getByText("The classes it knows").click();
    assert.equal(await page.locator(".classes li").count(), 10);
    await page.getByText("The classes it knows").click();
    assert.equal(await page.locator("#shoot").isVisible(), false, "no camera to hold up");
    await shot("empty");

    // Chosen, with the heat map over the whole photo.
    await page.setInputFiles("#files", photo("ship"));
    await shows(articles, photo("ship"));
    assert.equal(await status.textContent(), predicted(photo("ship"))[0].join(", "));
    const [map, image] = await page.evaluate(() => ["img.map", "img.photo"].map((one) => {
      const { x, y, width, height } = document.querySelector(one).getBoundingClientRect();
      return [x, y, width, height].map(Math.round);
    }));
    assert.deepEqual(map, image, "the map lies on the photo");
    assert.ok(image[2] >= 256, "a small photo is enlarged");
    await shot("photo");
    const asked = [];
    page.on("request", (request) => request.method() === "POST" && asked.push(request.url()));
    await page.getByLabel("heat map").uncheck();
    assert.equal(await page.locator("img.map").isVisible(), false);
    await page.getByLabel("heat map").check();
    assert.equal(await page.locator("img.map").isVisible(), true);
    assert.deepEqual(asked, [], "what is there is not asked for again");

    // Dropped: several, among them one that is damaged and one that is no image.
    await bring(page, "drag", [file("dog")]);
    assert.equal(await page.locator("#drop.over").count(), 1, "it shows that files may be dropped");
    const damaged = ["damaged.png", "image/png", file("frog")[2].subarray(0, 900)];
    await bring(page, "drop", [file("dog"), damaged, ["notes.txt", "text/plain", Buffer.from("x")], file("ship")]);
    assert.equal(await page.locator("#drop.over").count(), 0);
    await shows(articles.nth(0), photo("dog"));
    await shows(articles.nth(2), photo("ship"));
    assert.equal(await articles.count(), 3);
    assert.equal(await alert.innerText(), "Left out, since not an image: notes.txt");
    assert.equal(await articles.nth(1).locator("h2").innerText(), "No answer");
    assert.match(await articles.nth(1).locator(".bad").innerText(), /^The service says: the file .+ truncated|damaged|cut/);
    assert.match(await articles.nth(1).innerText(), /damaged\.png/);
    assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0, "it would not help");
    assert.equal(await status.innerText(), "3 photos, 1 without an answer");
    await shot("several");

    // Pasted, over text in a field as well.
    await bring(page, "paste", [file("horse")]);
    await shows(articles, photo("horse"));
    assert.equal(await alert.innerText(), "");

    // Errors: no image, too many bytes, a folder, a service that is gone.
    await bring(page, "drop", [["notes.txt", "text/plain", Buffer.from("x")]]);
    assert.equal(await alert.innerText(), "Left out, since not an image: notes.txt");
    assert.equal(await articles.count(), 1, "the photo before stays");
    await page.setInputFiles("#files", [{ name: "large.png", mimeType: "image/png", buffer: Buffer.alloc(17 << 20) }]);
    await page.getByText("The photo has 17.8 MB, and the limit is 16.8 MB.").waitFor();
    await stop(service);
    await page.setInputFiles("#files", photo("ship"));
    await page.getByText("The service cannot be reached.").waitFor();
    await shot("gone");
    service = await serve("demo", net, "--port", service.port);
    services.push(service);
    await page.getByRole("button", { name: "Try again" }).click();
    await shows(articles, photo("ship"));

    // The keyboard: every control in turn, with an outline, and the chooser by a key.
    const keyed = await open({});
    await keyed.getByText("10 classes").waitFor();
    const controls = [];
    for (let i = 0; i < 4; i++) {
      await keyed.keyboard.press("Tab");
      controls.push(await keyed.evaluate(() => {
        const one = document.activeElement;
        const marked = one.matches("input[type=file]") ? one.nextElementSibling : one;
        return [one.id || one.tagName, getComputedStyle(marked).outlineStyle !== "none"];
      }));
      if (controls.at(-1)[0] === "files") {
        const chooser = keyed.waitForEvent("filechooser");
        await keyed.keyboard.press("Space");
        await (await chooser).setFiles(photo("frog"));
      }
      if (i === 0) {
        await keyed.keyboard.press("ArrowDown");
        assert.equal(await keyed.title(), "other · resnet");
      }
    }
    assert.deepEqual(controls, [["model", true], ["map", true], ["files", true], ["SUMMARY", true]]);
    await shows(keyed.locator("article"), photo("frog"));
    await shot("keyboard", keyed);

    // Dark, and light.
    await page.setInputFiles("#files", photo("cat"));
    await shows(articles, photo("cat"));
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    assert.ok((await contrast(page)) >= 4.5, `contrast ${await contrast(page)} in light`);
    await page.emulateMedia({ colorScheme: "dark" });
    assert.notEqual(await background(), light);
    assert.ok((await contrast(page)) >= 4.5, `contrast ${await contrast(page)} in dark`);
    await shot("dark");

    // A telephone: one column, a camera, buttons for fingers.
    const small = await open({ viewport: { width: 320, height: 760 }, hasTouch: true, isMobile: true });
    await small.getByText("10 classes").waitFor();
    const camera = small.locator("#camera");
    assert.equal(await camera.getAttribute("capture"), "environment");
    await small.getByText("Take a photo").waitFor();
    for (const button of await small.locator("label.button").all()) assert.ok((await button.boundingBox()).height >= 44);
    const taken = small.waitForEvent("filechooser");
    await small.getByText("Take a photo").tap();
    await (await taken).setFiles(path.join(PROJECT, "crates/data/tests/photos/exif-6.jpg"));
    await shows(small.locator("article"), path.join(PROJECT, "crates/data/tests/photos/exif-6.jpg"));
    assert.ok(await small.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
    await shot("narrow", small);

    // A token.
    const closed = await serve("demo", "--port", "0", "--token-file", tokens);
    services.push(closed);
    const guest = await open({}, closed.url);
    await guest.getByLabel("This service wants a token:").fill("wrong");
    await guest.keyboard.press("Enter");
    await guest.getByText("The service does not take this token.").waitFor();
    await shot("token", guest);
    await guest.getByLabel("This service wants a token:").fill("secret");
    await guest.keyboard.press("Enter");
    await guest.getByText("10 classes").waitFor();
    assert.equal(await guest.locator("#access").isVisible(), false);
    await guest.setInputFiles("#files", photo("dog"));
    await shows(guest.locator("article"), photo("dog"));

    // Without JavaScript it says how.
    const plain = await open({ javaScriptEnabled: false });
    assert.match(await plain.locator("noscript").innerText(), /curl --data-binary/);

    // Nothing leaves the page, not even what someone else might make it send.
    assert.deepEqual(outside, [], "requests to others");
    const reached = await page.evaluate(() => fetch("https://example.com/").then(() => true, () => false));
    assert.equal(reached, false);
    assert.ok(messages.some((text) => /Content Security Policy/i.test(text)), "the policy refuses it");
    // The browser logs statuses of errors by itself.
    const own = messages.filter((text) => !/^Failed to load resource|example\.com|Content Security Policy/.test(text));
    assert.deepEqual(own, [], "no errors in the console");
    console.log("choose, drop, paste, heat map, errors, keyboard, dark, narrow, token; no request leaves the page");
  } finally {
    await browser?.close();
    for (const { child } of services) child.kill();
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}
main().catch((error) => { console.error(error); process.exit(1); });
