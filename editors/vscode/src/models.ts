// What `fimd: Pick a Model` offers. Sizes are of Q8_0 weights. No VS Code in here.

export interface Model {
  label: string;
  detail: string;
  /** The setting; undefined: a file is to be chosen. */
  value: string | undefined;
}

const SIZES: [string, string, string][] = [
  ['0.5B', '0.5 GB', '2 GB'],
  ['1.5B', '1.6 GB', '4 GB'],
  ['3B', '3.3 GB', '6 GB'],
  ['7B', '8.1 GB', '12 GB'],
  ['14B', '16 GB', '20 GB'],
  ['32B', '35 GB', '48 GB'],
];

export function offered(current: string): Model[] {
  const list: Model[] = [
    { label: 'Embedded', detail: 'Small, for trying it out. Nothing to download.', value: '' },
    ...SIZES.map(([size, weights, memory]) => ({
      label: `Qwen2.5-Coder ${size}`,
      detail: `${weights} in Q8_0, for ${memory} of memory or more`,
      value: `Qwen/Qwen2.5-Coder-${size}`,
    })),
  ];
  if (current !== '' && !list.some((m) => m.value === current))
    list.unshift({ label: current, detail: 'As it is set now.', value: current });
  list.push({ label: 'Choose a GGUF File...', detail: 'From this machine.', value: undefined });
  return list;
}
