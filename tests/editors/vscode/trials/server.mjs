// The server's process: found or not, killed, started again, and one for each window.
import assert from "node:assert/strict";
import { until } from "../wait.mjs";
import { restartServer, serversOf } from "../editor/processes.mjs";
import { typeUntilGhost, untilAwake } from "./samples.mjs";

export const server = {
  "comes back when its process is killed": async ({ editor, workbench, binary }) => {
    // A command that is under way has somebody who waits for it, and is told; here is nobody.
    await editor.run("Lacuna: Restart");
    await editor.untilStatus("Ready");
    await editor.dismissNotifications();
    const [before] = await until("one server runs", async () => {
      const running = await serversOf(workbench, binary);
      return running.length === 1 && running;
    });
    process.kill(before, "SIGKILL");
    await until("another server runs", async () => (await serversOf(workbench, binary)).some((id) => id !== before));
    await editor.untilStatus("Ready");
    const { name, before: text, ghost, after } = await typeUntilGhost(editor);
    await editor.press("Tab");
    await editor.saves(name, text + ghost + after);
    assert.deepEqual(await editor.notifications(), [], "nobody is told of one death");
  },

  "restarts on request": async (context) => {
    const { editor } = context;
    await restartServer(context);
    const { name, before: text, ghost, after } = await typeUntilGhost(editor);
    await editor.press("Tab");
    await editor.saves(name, text + ghost + after);
  },

  "says once that there is no binary, and needs no restart when there is": async ({ editor, workbench, binary }) => {
    await workbench.setMachine({});
    await editor.untilStatus("The lacuna binary was not found.");
    await editor.untilNotified("there is no lacuna binary on PATH");
    await editor.screenshot("no-binary");
    await editor.dismissNotifications();
    await editor.run("Lacuna: Restart");
    await editor.untilStatus("The lacuna binary was not found.");
    assert.deepEqual(await editor.notifications(), [], "the message came once");
    await workbench.setMachine({ "lacuna.path": "/nowhere/lacuna" });
    await editor.untilStatus("The lacuna binary was not found.");
    await workbench.setMachine({ "lacuna.path": binary });
    await editor.untilStatus("Ready");
  },

  "says so when the server dies again and again": async ({ editor, workbench, binary, fake }) => {
    await fake.reset();
    await fake.put("die", "");
    await workbench.setMachine({ "lacuna.path": fake.file });
    await editor.untilNotified("has died several times");
    assert.equal((await editor.notifications()).length, 1, "there is one message");
    await editor.untilStatus("The server does not run.");
    await fake.reset();
    await editor.page.locator(".notification-toast .monaco-button", { hasText: "Restart" }).click();
    await editor.untilStatus("Pretending.");
    await workbench.setMachine({ "lacuna.path": binary });
    await editor.untilStatus("Ready");
  },

  "serves two windows at once": async ({ editor, workbench, binary }) => {
    const second = await workbench.openWindow();
    try {
      await untilAwake(second);
      assert.equal((await serversOf(workbench, binary)).length, 2, "each window has a server of its own");
      const shown = await Promise.all([editor, second].map((window) => typeUntilGhost(window)));
      await Promise.all(
        [editor, second].map(async (window, index) => {
          const { name, before, ghost, after } = shown[index];
          await window.press("Tab");
          await window.saves(name, before + ghost + after);
        }),
      );
    } finally {
      await workbench.closeWindow(second);
    }
    await until("the closed window's server has ended", async () => (await serversOf(workbench, binary)).length === 1, 60_000);
  },
};
