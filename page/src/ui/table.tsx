/** A table with a caption, headed columns, and a place to scroll in when it is wider than the screen. */
import type { ComponentChildren } from "preact";

export interface Column<R> {
  /** Its heading. */
  head: ComponentChildren;
  /** What stands in a row's cell. */
  cell: (row: R) => ComponentChildren;
  /** Figures stand right, in figures of one width. */
  numeric?: boolean;
  /** Names the row: a heading of it. */
  rowHead?: boolean;
}

interface Props<R> {
  /** What the table is; read aloud, and shown unless `captionUnseen`. */
  caption: string;
  captionUnseen?: boolean;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R, index: number) => string | number;
  /** Said instead of rows where there are none. */
  empty?: ComponentChildren;
}

export function Table<R>(props: Props<R>) {
  const { caption, captionUnseen = false, columns, rows, rowKey, empty = "Nothing." } = props;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
    <section class="table-scroll" aria-label={caption} tabIndex={0}>
      <table class="table">
        <caption class={captionUnseen ? "unseen" : ""}>{caption}</caption>
        <thead>
          <tr>
            {columns.map((column, index) => (
              <th key={index} scope="col" class={column.numeric ? "is-numeric" : ""}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={rowKey(row, at)}>
              {columns.map((column, index) => (
                <Cell key={index} column={column} row={row} />
              ))}
            </tr>
          ))}
          {rows.length === 0 && (
            <tr>
              <td class="table-empty" colSpan={columns.length}>
                {empty}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </section>
  );
}

function Cell<R>({ column, row }: { column: Column<R>; row: R }) {
  const look = column.numeric ? "is-numeric" : "";
  if (column.rowHead) {
    return (
      <th scope="row" class={look}>
        {column.cell(row)}
      </th>
    );
  }
  return <td class={look}>{column.cell(row)}</td>;
}
