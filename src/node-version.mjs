/**
 * Stops with advice on a Node that cannot run the TypeScript sources. It is plain JavaScript and preloaded
 * (`node --import`), because such a Node fails on the very first `.ts` file, before a line of it runs.
 */
const oldest = { major: 24, minor: 12 }
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < oldest.major || (major === oldest.major && minor < oldest.minor)) {
  process.stderr.write(
    `ThinkPixel LLM Gateway needs Node ${oldest.major}.${oldest.minor} or newer; this is Node ${process.versions.node}.\n` +
      'Start it as `npm start`, and its command as `npm run llmgw -- <command>`: on Linux both use the Node that\n' +
      '`npm ci` has put into node_modules (not with --omit=optional). Elsewhere, install a newer Node.\n',
  )
  process.exit(1)
}
