// A serial console's log, long enough to scroll.
const boot = [
  "[    0.000000] Linux version 6.1.0-40-amd64 (debian-kernel@lists.debian.org)",
  "[    0.000000] Command line: root=LABEL=stack ro console=ttyS0 quiet systemd.show_status=1",
  "[    0.412231] virtio_blk virtio2: [vda] 16777216 512-byte logical blocks (8.59 GB/8.00 GiB)",
  "[    1.102934] EXT4-fs (vda2): mounted filesystem with ordered data mode. Quota mode: none.",
  "[  OK  ] Started systemd-journald.service - Journal Service.",
  "[  OK  ] Started qemu-guest-agent.service - QEMU Guest Agent.",
  "         Starting stack-postgres.service - PostgreSQL for the emulator...",
  "[  OK  ] Started stack-postgres.service - PostgreSQL for the emulator.",
  "[  OK  ] Started stack-backend.service - Backend API.",
  "[  OK  ] Started stack-dashboard.service - Dashboard.",
  "[FAILED] Failed to start stack-cron.service - Cron jobs.",
  "stack-backend[412]: listening on 0.0.0.0:8102",
  "stack-backend[412]: GET /health?db=1 200 in 3 ms",
];

/** Lines of a log. */
export const logLines: string[] = [
  ...boot,
  ...Array.from({ length: 240 }, (_, index) => {
    const path = index % 7 === 0 ? "/api/v1/internal/local-emulator/project" : "/health?db=1";
    return `stack-backend[412]: ${index % 7 === 0 ? "POST" : "GET"} ${path} 200 in ${2 + (index % 5)} ms`;
  }),
];
