/** Named spans that end now. */
import { PRESETS } from "../../model/history";
import { Button } from "../../ui/button";
import { Group } from "../../ui/group";

interface Props {
  /** The preset that is shown; empty for a span of one's own. */
  preset: string;
  onPreset: (id: string) => void;
}

export function Presets({ preset, onPreset }: Props) {
  return (
    <Group name="Span that ends now">
      {PRESETS.map(({ id }) => (
        <Button key={id} onPress={() => onPreset(id)} pressed={id === preset}>
          {id.replace(/(\d+)/, "$1 ")}
        </Button>
      ))}
    </Group>
  );
}
