export function onAddress() {}
