// Svelte's compiler: runes everywhere, so that no component falls back to the older reactivity.
import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

export default {
  preprocess: vitePreprocess(),
  compilerOptions: { runes: true },
};
