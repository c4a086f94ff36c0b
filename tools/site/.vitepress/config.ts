/** The site of the documentation: which pages there are, and in which order. `tools/site.mjs` puts them here. */
import { defineConfig } from 'vitepress'

const page = (text: string, link: string) => ({ text, link })

export default defineConfig({
  title: 'Parsec server',
  description: 'Self-hosted end-to-end encrypted file sharing',
  srcDir: 'pages',
  outDir: '../../site',
  cacheDir: 'node_modules/.cache',
  cleanUrls: false,
  lastUpdated: false,
  head: [['link', { rel: 'icon', href: '/favicon.ico' }]],
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      page('Getting started', '/'),
      page('Operations', '/operations'),
      page('Configuration', '/configuration'),
      page('API', '/administration'),
    ],
    sidebar: [
      {
        text: 'Begin',
        items: [
          page('Getting started', '/'),
          page('One VM, from nothing to TLS', '/one-vm'),
          page('Around a server', '/around'),
          page('Take over an existing server', '/takeover'),
          page('Kubernetes', '/kubernetes'),
        ],
      },
      {
        text: 'Run',
        items: [
          page('Configuration', '/configuration'),
          page('Operations', '/operations'),
          page('Console', '/console'),
          page('Scaling', '/scaling'),
          page('Security', '/security'),
          page('Limits', '/limits'),
          page('Changes', '/changes'),
        ],
      },
      {
        text: 'API',
        items: [
          page('Administration', '/administration'),
          page('Commands of clients', '/commands'),
          page('A connection', '/connection'),
        ],
      },
      {
        text: 'Take part',
        items: [
          page('Contributing', '/contributing'),
          page('Architecture', '/architecture'),
          page('Reporting a vulnerability', '/vulnerabilities'),
        ],
      },
    ],
  },
})
