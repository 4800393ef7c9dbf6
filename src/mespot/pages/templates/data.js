"use strict";
// What the page holds of all videos, and what the script of one, videos/NAME.js, which calls mespot.video, tells of it.
// The scripts of these files are one, in the order data, list, timeline, corrections, viewer.

const page = JSON.parse(document.getElementById("index").textContent);
const $ = name => document.getElementById(name);
const style = getComputedStyle(document.documentElement);
const colour = name => style.getPropertyValue(`--${name}`).trim();

page.events = page.events.map((row, at) => {
  const event = {at};
  page.event.forEach((name, k) => { event[name] = row[k]; });
  return event;
});
const ofVideo = page.videos.map(() => []);
for (const event of page.events) ofVideo[event.video].push(event);

const seconds = (video, frame) => video.start + frame / video.fps;
const begins = event => seconds(page.videos[event.video], event.onset);
const ends = event => seconds(page.videos[event.video], event.offset + 1);
const lasts = event => (event.offset - event.onset + 1) / page.videos[event.video].fps;
const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const numbers = (text, Kind) => new Kind(bytes(text).buffer);

// --- a video's script -----------------------------------------------------------------------------------

const scripts = new Map(), waiting = new Map();
window.mespot = {
  video(file, content) {
    content.motion = numbers(content.motion, Uint8Array);
    content.source = content.source && numbers(content.source, Uint32Array);
    for (const curves of Object.values(content.curves))
      for (const curve of curves) {
        const steps = numbers(curve.data, Uint16Array), values = new Array(steps.length);
        for (let t = 0; t < steps.length; t++) values[t] = steps[t] === 65535 ? null : steps[t] * curve.max / 65534;
        curve.values = values;
        delete curve.data;
      }
    waiting.get(file)?.(content);
  },
  page,
};

function content(video) {
  if (!scripts.has(video.file)) scripts.set(video.file, new Promise((done, failed) => {
    waiting.set(video.file, done);
    const script = document.createElement("script");
    script.src = `${video.href}.js`;
    script.onerror = () => {
      scripts.delete(video.file);
      failed(new Error(`${video.href}.js is not there: keep the folder videos beside the page`));
    };
    document.head.append(script);
  }));
  return scripts.get(video.file);
}
