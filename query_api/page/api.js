// The API that this page reads: the server that sent the page.

/** An answer that is no success: the API's problem document. */
export class Problem extends Error {
  constructor(document) {
    super(document.detail);
    this.document = document;
  }

  /** Whether the same request may succeed soon: the server is away, busy, or limits its callers. */
  get passes() {
    return !this.document.status || this.document.status >= 500 || this.document.status === 429;
  }
}

/** The JSON of an address; Problem when the API refuses, or does not answer. Parameters that are null are not sent. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined));
  let response;
  try {
    response = await fetch(`${path}?${query}`, { headers: { accept: "application/json" }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "The API does not answer", detail: "it may be down, or out of reach" });
  }
  const document = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return { title: response.statusText, status: response.status, detail: `${path}: ${response.status}` };
  });
  if (!response.ok) throw new Problem(document);
  return document;
}

/**
 * Call `news` for each new snapshot and `connected` with whether the stream is there, while the page is looked at:
 * a browser opens six connections to a host, and pages out of sight would keep theirs.
 * After a cut it comes back by itself, with the last id; only where the API refuses is it up to us.
 */
export function follow(news, connected) {
  let stream = null;
  let again;
  const close = () => {
    clearTimeout(again);
    stream?.close();
    stream = null;
  };
  const open = () => {
    close();
    stream = new EventSource("v1/stream");
    stream.addEventListener("open", () => connected(true));
    stream.addEventListener("snapshot", news);
    stream.addEventListener("missed", news);
    stream.addEventListener("error", () => {
      connected(false);
      if (stream?.readyState === EventSource.CLOSED) again = setTimeout(open, 3_000);
    });
  };
  const look = () => {
    if (document.visibilityState === "visible") return open();
    close();
    connected(false);
  };
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && look());
  look();
}
