// One sentence for each word that a newcomer stumbles over.

export const glossary = {
  container:
    'A container is a program that runs in a room of its own: own files, own network, own process list, on a shared kernel.',
  image:
    'An image is the frozen set of files and settings that containers are made from; it never changes once built.',
  layer: 'A layer is one step of an image: only the files that step added or changed, shared by every image that has it.',
  volume: 'A volume is a folder that lives outside the container, so that its data stays when the container goes.',
  port: 'A published port is a door: what reaches this port of your computer is handed to a port inside the container.',
} as const;

export type Term = keyof typeof glossary;
