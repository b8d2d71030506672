/**
 * Builds the page into `dist/`, byte for byte the same from the same sources, and serves it while it
 * is worked on, with the service behind it at the same origin.
 */
import { defineConfig } from "vite";

/** Where the service listens while the page is worked on: its gRPC port, or its http port. */
const service = process.env.PULSEWARD_URL ?? "http://127.0.0.1:50051";
/** A page that this service's `web_origins` lists. */
const listedOrigin = process.env.PULSEWARD_ORIGIN ?? "http://localhost:5173";

export default defineConfig({
  // The service serves the page under /ward/.
  base: "./",
  build: {
    target: "es2023",
    outDir: "dist",
    emptyOutDir: true,
    // Files, not data in the style sheet: nothing is inlined.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  server: {
    proxy: {
      "^/pulseward\\.v1\\.": {
        target: service,
        changeOrigin: true,
        headers: { origin: listedOrigin },
      },
    },
  },
});
