// What nobody can have the model say: a pretended server says it.

/** Makes a trial one with the pretended server, after which the real one is back. */
export function pretending(trial) {
  return async (context) => {
    const { editor, workbench, fake, binary } = context;
    await fake.reset();
    await workbench.setMachine({ "lacuna.path": fake.file });
    try {
      await editor.untilStatus("Pretending.");
      await trial(context);
    } finally {
      await workbench.setMachine({ "lacuna.path": binary });
    }
    await editor.untilStatus("Ready");
  };
}
