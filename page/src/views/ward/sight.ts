/** Says of an element whether it is in sight, or soon will be; one observer for all of them. */

/** Half a screen ahead, so that it is drawn before it is seen. */
const AHEAD = "50% 0px";

const told = new WeakMap<Element, (isInSight: boolean) => void>();
let observer: IntersectionObserver | undefined;

/** Tells of each change; what is given back ends it. */
export function watchSight(target: Element, tell: (isInSight: boolean) => void): () => void {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const it of entries) told.get(it.target)?.(it.isIntersecting);
    },
    { rootMargin: AHEAD },
  );
  const watching = observer;
  told.set(target, tell);
  watching.observe(target);
  return () => {
    watching.unobserve(target);
    told.delete(target);
  };
}
