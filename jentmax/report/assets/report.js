"use strict";
// The 3-D views of a report: every .viewer holds its structures as JSON, written by jentmax/report.py.
for (const box of document.querySelectorAll(".viewer")) {
  const structures = JSON.parse(box.querySelector("script").textContent);
  const choice = box.querySelector(".structure");
  const coloring = box.querySelector(".coloring");
  const canvas = box.querySelector(".canvas");

  structures.forEach(({ set, label }, number) => choice.append(new Option(`${set}: ${label}`, number)));

  let viewer = null;
  try {
    viewer = $3Dmol.createViewer(canvas, { backgroundColor: "white" });
  } catch (error) {
    console.warn(error);
  }
  if (!viewer) {
    canvas.innerHTML = '<p class="message">The 3-D view needs WebGL, which this browser does not offer.</p>';
    continue;
  }

  const show = () => {
    const structure = structures[choice.value];
    viewer.clear();
    const model = viewer.addModel();
    model.addAtoms(structure.positions.map(([x, y, z], atom) => (
      { elem: structure.symbols[atom], x, y, z, serial: atom, bonds: [], bondOrder: [] }
    )));
    for (const [elem, radius] of Object.entries(structure.radii)) {
      const color = coloring.value === "set" ? { color: structure.color } : { colorscheme: "Jmol" };
      model.setStyle({ elem }, { sphere: { radius, ...color } });
    }
    if (structure.cell) {
      model.setCrystMatrix(new $3Dmol.Matrix3(...structure.cell));
      const hidden = { hidden: true };
      viewer.addUnitCell(model, {
        box: { color: "#333333" }, astyle: hidden, bstyle: hidden, cstyle: hidden,
      });
    }
    viewer.zoomTo();
    viewer.zoom(0.9);
    viewer.render();
  };
  viewer.setView([0, 0, 0, 0, -0.62, -0.15, -0.18, 0.75]);
  choice.addEventListener("change", show);
  coloring.addEventListener("change", show);
  show();
}
