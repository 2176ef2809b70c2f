// The page with the mocked bridge: `mock.html?scenario=running&theme=dark#/status`.
import { mount } from "svelte";

import App from "../src/App.svelte";
import "../src/styles/base.css";
import "../src/styles/tokens.css";
import { install } from "./bridge";
import { NOW } from "./data";
import { scenario } from "./scenarios";

const query = new URLSearchParams(location.search);
const theme = query.get("theme");
if (theme === "light" || theme === "dark") document.documentElement.style.colorScheme = theme;
// Time passes from the moment at which all scenarios play.
const opened = performance.now();
Date.now = () => NOW + Math.floor(performance.now() - opened);
install(scenario(query.get("scenario") ?? "running"));

const target = document.getElementById("app");
if (target) mount(App, { target });
