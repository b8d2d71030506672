/** Gives the reader a file that was made in the page; nothing leaves the machine for it. */

/** Long enough for a browser that asks where to put it. */
const KEPT_MS = 60_000;

/** Offers `text` as a file of this name. */
export function download(name: string, text: string, type = "text/csv;charset=utf-8"): void {
  // Spreadsheets take a file without this mark for one of their country's old encoding.
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
