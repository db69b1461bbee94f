/** Google has to be told what is behind a URL, and the gateway does not look: the extension has to say. */
const byExtension: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  heic: 'image/heic',
  heif: 'image/heif',
  pdf: 'application/pdf',
  txt: 'text/plain',
  md: 'text/markdown',
  csv: 'text/csv',
  html: 'text/html',
  json: 'application/json',
  wav: 'audio/wav',
  mp3: 'audio/mp3',
  flac: 'audio/flac',
  ogg: 'audio/ogg',
  m4a: 'audio/m4a',
  mp4: 'video/mp4',
  mov: 'video/quicktime',
  webm: 'video/webm',
  mpeg: 'video/mpeg',
}

export function mediaTypeOfUrl(url: string): string | undefined {
  const extension = /\.([A-Za-z0-9]{2,4})$/.exec(URL.parse(url)?.pathname ?? '')?.[1]
  return extension === undefined ? undefined : byExtension[extension.toLowerCase()]
}
